"""What a message carries: encoding what the caller gave, and reading what came."""
