"""A gRPC health server for the tests of the gRPC check.

health_server.py [--tls CERT KEY] [--without-health] [--deny]

Prints "port N" once it serves. Standard input sets states, one a line: "SERVICE STATUS" ("." is the whole server), each
answered with "set". It ends with its input.
"""

import argparse
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Deny(grpc.ServerInterceptor):
    """Takes nobody without credentials."""

    def intercept_service(self, continuation, details):
        def refuse(_request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

        return grpc.unary_unary_rpc_method_handler(refuse)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--without-health", action="store_true")
    parser.add_argument("--deny", action="store_true")
    options = parser.parse_args()

    interceptors = [Deny()] if options.deny else []
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), interceptors=interceptors)
    servicer = health.HealthServicer()
    if not options.without_health:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if options.tls:
        certificate, key = (open(name, "rb").read() for name in options.tls)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("port", port, flush=True)

    for line in sys.stdin:
        service, status = line.split()
        servicer.set("" if service == "." else service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
        print("set", flush=True)
    server.stop(None)


main()
