"""Single header fields, one file each: read without trust, and written as their RFCs say."""
