"""The packaged service script, for mod_wsgi-express --service-script or WSGIImportScript.

mod_wsgi imports it under a name of its own, `_mod_wsgi_<hash>`; an ordinary import starts nothing.
"""

from mod_wsgi_dashboard.service import run

if __name__ == "__main__" or __name__.startswith("_mod_wsgi_"):
    run()
