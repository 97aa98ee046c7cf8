"""State machines and decisions that know no call: a client's layers and the policies around functions share them."""
