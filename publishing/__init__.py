"""What goes out: the index, the nightly lists, the release and the report."""
