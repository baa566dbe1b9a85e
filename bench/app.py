"""Flask's part of `make bench`: it answers /version with the bytes of the file that BODY names."""

import os
import pathlib

import flask

app = flask.Flask(__name__)
body = pathlib.Path(os.environ["BODY"]).read_bytes()


@app.get("/version")
def version():
    return flask.Response(body, content_type="application/json")
