"""What everything rests on: errors, addresses, hashes, settings read from files, what is said on the screen."""
