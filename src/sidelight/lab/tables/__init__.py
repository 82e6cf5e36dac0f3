"""One table type, what fills it from stored results, and what prints it.

:mod:`.table` holds the type, :mod:`.summary` and :mod:`.comparison` fill it, :mod:`.markdown`,
:mod:`.terminal` and :mod:`.latex` print it.
"""
