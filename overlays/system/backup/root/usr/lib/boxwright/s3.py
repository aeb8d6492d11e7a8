"""Requests to S3, for programs `repository`: the few that a program for backups does not know, above all the deletion of a version.

Signed as AWS's "Signature Version 4" has it. The keys are in memory only.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import re
import ssl
import urllib.parse

SECONDS = 60
# The second part of the host names of most servers of S3: s3.eu-central-1.wasabisys.com.
REGION = re.compile(r"^s3[.-]([a-z]+-[a-z]+-?[0-9]+)\.")


class Trouble(Exception):
    """What the server said, or that it cannot be reached."""


class Bucket:
    """One bucket."""

    def __init__(self, endpoint, bucket, keys, region=None):
        self.endpoint, self.bucket, self.keys = endpoint, bucket, keys
        known = REGION.match(endpoint)
        self.region = region or (known.group(1) if known else "us-east-1")

    def call(self, method, key, query=(), headers=(), body=b""):
        """Status, headers and body of the answer."""
        path = urllib.parse.quote(f"/{self.bucket}/{key}")
        words = "&".join(f"{urllib.parse.quote(name, safe='')}={urllib.parse.quote(value, safe='')}" for name, value in sorted(query))
        signed = self.signed(method, path, words, dict(headers), body)
        host, _, port = self.endpoint.partition(":")
        connection = http.client.HTTPSConnection(host, int(port or 443), timeout=SECONDS, context=ssl.create_default_context())
        try:
            connection.request(method, f"{path}?{words}" if words else path, body=body or None, headers=signed)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers.items()), answer.read(1 << 20)
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"its server cannot be reached: {error}") from None
        finally:
            connection.close()

    def signed(self, method, path, words, headers, body):
        """The headers of a request, with its signature."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {**headers, "host": self.endpoint, "x-amz-content-sha256": digest, "x-amz-date": now}
        if body:
            headers["content-md5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
            headers["content-length"] = str(len(body))
        names = sorted(name for name in headers if name != "content-length")
        listed = ";".join(names)
        lines = [method, path, words, *(f"{name}:{headers[name].strip()}" for name in names), "", listed, digest]
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        key = b"AWS4" + self.keys["secret-key"].encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, "\n".join(["AWS4-HMAC-SHA256", now, scope, hashed]).encode(), "sha256").hex()
        credential = f"{self.keys['key-id']}/{scope}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={listed}, Signature={signature}"
        return headers


def said(status, body):
    """What an answer that is no success says, in one sentence."""
    code = re.search(rb"<Code>([^<]*)</Code>", body)
    return f"its server answered {status}" + (f" ({code.group(1).decode(errors='replace')})" if code else "")
