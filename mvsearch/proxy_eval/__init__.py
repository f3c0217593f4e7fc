"""How well proxies rank networks whose ImageNet accuracy is known."""
