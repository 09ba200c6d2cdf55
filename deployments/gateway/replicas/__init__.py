"""What a gateway process knows of the fleet's replicas: who is there, and what each has cached."""
