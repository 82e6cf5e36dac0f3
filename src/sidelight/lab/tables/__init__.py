"""One table type. Builders that fill it from stored results, and printers.

:mod:`.table` holds the type, :mod:`.summary` and :mod:`.comparison` fill it, :mod:`.markdown`,
:mod:`.terminal` and :mod:`.latex` print it.
"""
