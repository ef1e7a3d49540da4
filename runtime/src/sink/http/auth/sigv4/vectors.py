"""Makes vectors.json: requests signed by botocore (`pip install botocore`), whose signer shares no code with ours.

Run: python3 vectors.py > vectors.json
"""

import calendar
import datetime
import hashlib
import json

import botocore
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION, ACCESS_KEY, SECRET_KEY = "us-east-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TIME = datetime.datetime(2015, 8, 30, 12, 36, 0, tzinfo=datetime.timezone.utc)

LINES = '{"a":1}\n{"b":"ä"}\n'
JSON = {"content-type": "application/x-ndjson"}

# service, session token, method, URL, headers, body
REQUESTS = [
    ("service", None, "POST", "https://example.amazonaws.com/", {}, ""),
    ("service", None, "POST", "https://example.amazonaws.com/", {"content-type": "application/x-www-form-urlencoded"}, "Param1=value1"),
    ("es", None, "POST", "https://search.us-east-1.es.amazonaws.com/_bulk", JSON, LINES),
    ("es", "a/session+token==", "POST", "https://search.us-east-1.es.amazonaws.com/quakes-2018/_bulk?refresh=true&pipeline=b", JSON, LINES),
    ("es", None, "PUT", "https://search.us-east-1.es.amazonaws.com:9200/a%20b/c%2Fd/%C3%A4", JSON, LINES),
    ("aoss", None, "POST", "https://abc.us-east-1.aoss.amazonaws.com/_bulk", {**JSON, "content-encoding": "gzip"}, LINES),
    ("execute-api", None, "POST", "https://a.execute-api.us-east-1.amazonaws.com/prod/in?b=2&a=1&a=0", {**JSON, "idempotency-key": "0123abcd"}, LINES),
    ("execute-api", None, "PATCH", "https://a.execute-api.us-east-1.amazonaws.com/prod/a~b-c_d.e", {"x-two": "a  b"}, LINES),
    ("s3", None, "PUT", "https://bucket.s3.us-east-1.amazonaws.com/a%20b/c%2Fd/%C3%A4.ndjson", JSON, LINES),
    ("s3", "token", "PUT", "https://bucket.s3.us-east-1.amazonaws.com/a//b/x", JSON, LINES),
    ("firehose", None, "POST", "https://firehose.us-east-1.amazonaws.com/", {"content-type": "application/x-amz-json-1.1", "x-amz-target": "Firehose_20150804.PutRecordBatch"}, "{}"),
    ("es", None, "DELETE", "https://search.us-east-1.es.amazonaws.com/x?q=a%20b%2Bc", {}, ""),
]


def signed(service, token, method, url, headers, body):
    kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    request = AWSRequest(method=method, url=url, headers=headers, data=body.encode())
    if service == "aoss":
        # The service wants it, and botocore's client for it adds it before it signs.
        request.headers["x-amz-content-sha256"] = hashlib.sha256(body.encode()).hexdigest()
    kind(Credentials(ACCESS_KEY, SECRET_KEY, token), service, REGION).add_auth(request)
    made = {name.lower(): value for name, value in request.headers.items()}
    return {name: value for name, value in made.items() if name not in headers}


def main():
    auth.get_current_datetime = lambda *_, **__: TIME
    requests = []
    for service, token, method, url, headers, body in REQUESTS:
        made = {"service": service, "session_token": token, "method": method, "url": url, "headers": headers}
        requests.append({**made, "body": body, "signed": signed(service, token, method, url, headers, body)})
    document = {
        "made_by": f"vectors.py with botocore {botocore.__version__}",
        "region": REGION,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "unix_time": calendar.timegm(TIME.timetuple()),
        "requests": requests,
    }
    print(json.dumps(document, indent=1, ensure_ascii=False))


main()
