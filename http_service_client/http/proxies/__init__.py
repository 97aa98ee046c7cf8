"""Which proxy a URL goes through, and the rules of speaking to one."""
