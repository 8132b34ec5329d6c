"""Published figures and tables, rerun with their claims."""
