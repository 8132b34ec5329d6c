"""What the first layer learns, measured and predicted."""
