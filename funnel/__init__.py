"""What a list is: candidates, ranking and re-ranking rules, as pure functions on arrays."""
