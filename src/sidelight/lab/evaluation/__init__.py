"""All methods times all metrics on one run. It resumes after a kill."""
