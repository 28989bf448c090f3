"""Starts moto so that it checks signatures over what was sent: moto_server.py ARGUMENTS OF moto_server.

moto 5.2.5 keeps no body of a form, and takes an empty body for what it made of the headers: it then signs its own rendering
(a space as +) in place of what the client signed, and refuses good requests: every GET of Route 53, EKS and Lambda, and forms
of a client that writes a space as %20. And it knows no signature in an address: it fails at each presigned one. It names the
answer to GetBucketVersioning as S3 does not, which a strict client refuses, and gives a new bucket the tags of a deleted one of its
name. These are put right here, and nothing else of moto is changed.
"""

import contextvars
import datetime
import io
import re
import sys
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from moto.core.serialize import S3Serializer
from moto.iam.access_control import IAMRequestBase, S3IAMRequest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.models import S3Backend
from moto.server import main

# Of the request that this thread serves: its body, and the signature in its address.
BODY = contextvars.ContextVar("BODY", default=None)
PRESIGNED = contextvars.ContextVar("PRESIGNED", default=None)

dispatch = DomainDispatcherApplication.__call__
create_request = IAMRequestBase._create_aws_request
create_s3_auth = S3IAMRequest._create_auth
serialize_s3_result = S3Serializer._serialized_result_to_response
delete_s3_bucket = S3Backend.delete_bucket


def keep_request(self, environ, start_response):
    length = environ.get("CONTENT_LENGTH")
    if length or not environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read(int(length or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        BODY.set(body)
    else:
        # Its length is not known until moto has read it.
        BODY.set(None)
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    PRESIGNED.set(query if "X-Amz-Signature" in query and "HTTP_AUTHORIZATION" not in environ else None)
    if PRESIGNED.get():
        environ["HTTP_AUTHORIZATION"] = (
            f"AWS4-HMAC-SHA256 Credential={query['X-Amz-Credential']}, "
            f"SignedHeaders={query['X-Amz-SignedHeaders']}, Signature={query['X-Amz-Signature']}")
        if "X-Amz-Security-Token" in query:
            environ["HTTP_X_AMZ_SECURITY_TOKEN"] = query["X-Amz-Security-Token"]
    return dispatch(self, environ, start_response)


def signed_request(self):
    if PRESIGNED.get():
        return presigned_request(self, PRESIGNED.get())
    request = create_request(self)
    if BODY.get() is not None:
        request.data = BODY.get()
    return request


def presigned_request(self, query):
    signed_at = datetime.datetime.strptime(query["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    valid = datetime.timedelta(seconds=int(query["X-Amz-Expires"]))
    if datetime.datetime.now(datetime.timezone.utc) > signed_at + valid:
        self._raise_access_denied()
    headers = self._create_headers_for_aws_request(query["X-Amz-SignedHeaders"].split(";"), self._headers)
    # The signature covers everything in the address but itself.
    address = re.sub("(?<=[?&])X-Amz-Signature=[^&]*&?", "", self._path).rstrip("&")
    request = AWSRequest(method=self._method, url=address, headers=headers)
    request.context["timestamp"] = query["X-Amz-Date"]
    return request


class UnsignedPayload(S3SigV4Auth):
    def payload(self, request):
        return "UNSIGNED-PAYLOAD"


def s3_auth(self, credentials):
    if PRESIGNED.get():
        return UnsignedPayload(credentials, self._service, self._region)
    return create_s3_auth(self, credentials)


def s3_result(self, resp, result, shape, serialized):
    resp = serialize_s3_result(self, resp, result, shape, serialized)
    if self.operation_model.name == "GetBucketVersioning":
        resp["body"] = resp["body"].replace("GetBucketVersioningResponse", "VersioningConfiguration")
    return resp


def delete_bucket(self, bucket_name):
    arn = self.get_bucket(bucket_name).arn
    deleted = delete_s3_bucket(self, bucket_name)
    if deleted:
        self.tagger.delete_all_tags_for_resource(arn)
    return deleted


DomainDispatcherApplication.__call__ = keep_request
S3Serializer._serialized_result_to_response = s3_result
S3Backend.delete_bucket = delete_bucket
IAMRequestBase._create_aws_request = signed_request
S3IAMRequest._create_auth = s3_auth

if __name__ == "__main__":
    sys.exit(main())
