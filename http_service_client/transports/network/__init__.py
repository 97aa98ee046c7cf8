"""What both transports need below HTTP: name resolution, connecting, polling sockets, TLS, SOCKS."""
