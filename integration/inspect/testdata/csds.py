"""Asks a server's CSDS, by each of its calls, and prints the answers as JSON.

csds.py TARGET; the credential, if any, is in AUTHORIZATION.
"""

import json
import os
import sys

import grpc
from envoy.admin.v3 import config_dump_shared_pb2
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

WAIT_SECONDS = 30
MESSAGE_BYTES_MAX = 64 << 20

# The types of resources, each with the field that is its name.
TYPES = {
    m.DESCRIPTOR.full_name: (m, field)
    for m, field in [
        (cluster_pb2.Cluster, "name"),
        (endpoint_pb2.ClusterLoadAssignment, "cluster_name"),
        (listener_pb2.Listener, "name"),
        (route_pb2.RouteConfiguration, "name"),
        (secret_pb2.Secret, "name"),
    ]
}


def content(packed):
    """The name that a resource itself has: its content is read."""
    kind, field = TYPES[packed.TypeName()]
    resource = kind()
    if not packed.Unpack(resource):
        raise ValueError("it is no " + packed.type_url)
    return getattr(resource, field)


def resource(config):
    told = {
        "typeUrl": config.type_url,
        "name": config.name,
        "version": config.version_info,
        "config": csds_pb2.ConfigStatus.Name(config.config_status),
        "client": config_dump_shared_pb2.ClientResourceStatus.Name(config.client_status),
        "updated": config.HasField("last_updated"),
    }
    if config.HasField("xds_config"):
        told["content"] = content(config.xds_config)
    if config.HasField("error_state"):
        told["refused"] = config.error_state.version_info
        told["words"] = config.error_state.details
    return told


def clients(answer):
    return [
        {
            "node": client.node.id,
            "agent": client.node.user_agent_name,
            "resources": [resource(config) for config in client.generic_xds_configs],
        }
        for client in answer.config
    ]


def asked(ask):
    """What a call answers: clients, or the name of gRPC's status."""
    try:
        return {"clients": clients(ask())}
    except grpc.RpcError as e:
        return {"status": e.code().name}


def main(target):
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
    metadata = [("authorization", v) for v in [os.environ.get("AUTHORIZATION")] if v]
    whole, bare = csds_pb2.ClientStatusRequest(), csds_pb2.ClientStatusRequest(exclude_resource_contents=True)
    with grpc.insecure_channel(target, options) as channel:
        stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        call = {"metadata": metadata, "timeout": WAIT_SECONDS}
        answers = {
            "fetch": asked(lambda: stub.FetchClientStatus(whole, **call)),
            "fetchBare": asked(lambda: stub.FetchClientStatus(bare, **call)),
        }
        # One stream, asked twice.
        stream = stub.StreamClientStatus(iter([whole, bare]), **call)
        answers["stream"] = asked(lambda: next(stream))
        answers["streamBare"] = asked(lambda: next(stream))
    json.dump(answers, sys.stdout)


main(sys.argv[1])
