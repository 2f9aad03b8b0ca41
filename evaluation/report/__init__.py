"""The report of stage 4: page, tables, sheets, summary."""
