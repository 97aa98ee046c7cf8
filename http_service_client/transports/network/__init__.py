"""Names, addresses, TLS and SOCKS: the network rules that both transports share."""
