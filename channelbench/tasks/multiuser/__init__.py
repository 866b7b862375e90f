"""Problems of groups of users that a base station serves at once: precoding and detection."""
