"""What a run found, for people: one HTML page, a Markdown table, a table for the terminal."""

from sidelight.lab.report.data import ReportData, ReportSection
from sidelight.lab.report.html import render_report, write_report
from sidelight.lab.tables.summary import markdown_table, terminal_tables

__all__ = [
    "ReportData",
    "ReportSection",
    "markdown_table",
    "render_report",
    "terminal_tables",
    "write_report",
]
