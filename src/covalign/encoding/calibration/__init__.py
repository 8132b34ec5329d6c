"""A model-based reading of a similarity: what populations would show what these samples show?"""
