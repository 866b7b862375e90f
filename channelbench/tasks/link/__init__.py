"""Problems of one link between a base station and a user: CE, CP, PF, BF, DE, PE. See docs/protocol.md."""
