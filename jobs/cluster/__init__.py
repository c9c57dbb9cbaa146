"""Submit experiments to a Ray cluster and follow them."""
