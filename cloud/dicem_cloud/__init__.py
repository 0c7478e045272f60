"""The cloud's part: the gateway, the functions that it serves, its HTTP and MQTT sides."""
