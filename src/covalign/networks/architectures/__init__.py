"""The networks that covalign trains, and published ones it can fill with weights."""
