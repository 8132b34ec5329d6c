"""Were two layers' neurons once the same neurons?"""
