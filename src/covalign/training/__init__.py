"""Specified, stored and resumable trainings."""
