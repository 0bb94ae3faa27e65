"""The live dashboard for Apache httpd + mod_wsgi."""

__version__ = "0.1.0"
