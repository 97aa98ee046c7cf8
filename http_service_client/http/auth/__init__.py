"""Authentication: the value of the Authorization field, and the logins that netrc files hold.

Nothing here opens a file or sends a request; the client reads netrc files and decides who gets a login.
"""
