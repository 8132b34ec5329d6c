"""What a layer learned: weight covariances, aligned and compared."""
