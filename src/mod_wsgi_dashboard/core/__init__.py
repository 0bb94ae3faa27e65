"""The pure core: values in, values or bytes out.

Nothing below this package does I/O, reads a clock, or imports asyncio, aiohttp or mod_wsgi: time and
randomness arrive as arguments. `tests/test_layers.py` holds it to that.
"""
