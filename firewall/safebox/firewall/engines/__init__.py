"""What evaluates policy, and how a pack of policies comes into force."""
