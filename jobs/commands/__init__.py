"""What the commands do, a file each; `jobs.cli` only parses and calls."""
