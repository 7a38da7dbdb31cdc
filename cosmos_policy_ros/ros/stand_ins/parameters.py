# SPDX-License-Identifier: Apache-2.0
"""The parameter services of a controller, which is a node of its own in the original.

Source: ros2/rclcpp ``parameter_service.cpp`` and ``node_parameters.cpp``: one name that is not
declared makes the answer empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_policy_ros.ros.endpoints import create_service
from cosmos_policy_ros.topics import GET_CONTROLLER_PARAMETERS, LIST_CONTROLLER_PARAMETERS
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import Parameter


def serve_parameters(node: Node, controller: str, parameters: Mapping[str, Any]) -> None:
    """Answer for a controller.

    Args:
        node: Node that answers.
        controller: Full name of the controller.
        parameters: Its parameters; changes are seen.
    """

    def list_names(
        _request: ListParameters.Request, response: ListParameters.Response
    ) -> ListParameters.Response:
        response.result.names = list(parameters)
        return response

    def get_values(
        request: GetParameters.Request, response: GetParameters.Response
    ) -> GetParameters.Response:
        if set(request.names) <= set(parameters):
            values = [Parameter(name, value=parameters[name]) for name in request.names]
            response.values = [value.get_parameter_value() for value in values]
        return response

    create_service(node, LIST_CONTROLLER_PARAMETERS.at(controller), list_names)
    create_service(node, GET_CONTROLLER_PARAMETERS.at(controller), get_values)
