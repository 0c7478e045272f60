"""What all gateways see: replies, answers, vehicles and programs, in one database (docs/cloud-store.md)."""
