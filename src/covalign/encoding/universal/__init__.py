"""What many networks have in common: a common basis, two kinds of mean, and how much of it is more than chance."""
