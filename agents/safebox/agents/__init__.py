"""What an agent may use to speak to safebox; nothing here is needed for enforcement."""
