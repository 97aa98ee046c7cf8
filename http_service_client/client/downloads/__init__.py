"""Downloads to a file: in one piece or in several at a time, complete or not at all."""
