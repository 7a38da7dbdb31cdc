# SPDX-License-Identifier: Apache-2.0
"""Every topic, service and action of the package: name, type, quality of service and meaning.

Nodes open their topics from these rows (``ros/endpoints.py``), bags are written and read under the
same names, and the reference page of the documents is printed from ``TOPICS`` and ``SERVICES``.
Names of cameras, arms and controllers come from the robot file; their rows are patterns such as
``/<camera>/image_raw``, which ``Topic.at`` gives a real name.

Names of the table are those of a stack without a namespace, and so are those in bags and in
Foxglove. A node opens them in its own namespace, but for ``/diagnostics``, which tools look for
under one name, and for names of the robot file, which ``read_robot`` has resolved already.

Sensors are published reliable, since every reader gets those and RViz asks for it, and received
best effort, since an image that has to be sent again is older than the next one. Other subscribers
ask for what the publisher offers, unless their own file sets another: the recorder takes all of it
best effort and keeps more messages while a disk stalls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos_policy_ros.robot import CameraSpec


@dataclass(frozen=True)
class Qos:
    """Quality of service of a topic; the history keeps the last ``depth`` messages.

    Attributes:
        reliability: ``reliable`` sends a lost message again, ``best_effort`` does not.
        durability: ``transient_local`` gives the last messages to a late subscriber too,
            ``volatile`` does not.
        depth: Messages that are kept for a subscriber.
    """

    reliability: Literal['reliable', 'best_effort']
    durability: Literal['volatile', 'transient_local']
    depth: int


SENSOR = Qos('best_effort', 'volatile', 5)  # the sensor data profile of ROS 2, to receive sensors
DRIVER = Qos('reliable', 'volatile', 5)  # REP-2003's choice for drivers; RViz asks for it
NEWEST = Qos('reliable', 'volatile', 1)  # an older message is worth nothing
LATCHED = Qos('reliable', 'transient_local', 1)  # whoever comes late gets the newest one
STREAM = Qos('reliable', 'volatile', 10)


@dataclass(frozen=True)
class Topic:
    """One topic, or a pattern of topics that the robot file names.

    Attributes:
        name: Full name, ``<camera>`` and ``<arm>`` standing for names of the robot file.
        type: Message type as ``package/msg/Name``.
        qos: Quality of service of the publisher.
        publishers: Names of the nodes that publish it; ``driver`` is hardware of somebody else.
        subscribers: Names of the nodes that subscribe to it.
        meaning: One sentence for the reference page.
        namespaced: Whether a node in a namespace opens it there; else it opens the full name.
        subscriber_qos: Quality of service of the subscribers, None for that of the publisher.
    """

    name: str
    type: str
    qos: Qos
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]
    meaning: str
    namespaced: bool = True
    subscriber_qos: Qos | None = None

    @property
    def ros_name(self) -> str:
        """The name that a node opens: without the leading slash if it is namespaced."""
        return self.name.removeprefix('/') if self.namespaced else self.name

    def at(self, name: str) -> Topic:
        """Return the topic of this pattern with a full name, such as those of the robot file."""
        return replace(self, name=name, namespaced=False)


@dataclass(frozen=True)
class Service:
    """One service, or a pattern of services that the robot file names.

    Attributes:
        name: Full name in a stack without a namespace.
        type: Service type as ``package/srv/Name``.
        server: Name of the node that answers; ``driver`` is hardware of somebody else.
        clients: Names of the nodes that call it; ``person`` is somebody at a terminal.
        meaning: One sentence for the reference page.
        namespaced: Whether a node in a namespace opens it there; else it opens the full name.
    """

    name: str
    type: str
    server: str
    clients: tuple[str, ...]
    meaning: str
    namespaced: bool = True

    @property
    def ros_name(self) -> str:
        """The name that a node opens: without the leading slash if it is namespaced."""
        return self.name.removeprefix('/') if self.namespaced else self.name

    def at(self, owner: str) -> Service:
        """Return the service of this pattern of a node or a namespace of the robot file."""
        name = f'{owner}/{self.name.rpartition("/")[2]}'
        return replace(self, name=name, namespaced=False)


@dataclass(frozen=True)
class Action:
    """One action, which the robot file names.

    Attributes:
        name: Pattern of its name, ``<arm>`` standing for a name of the robot file.
        type: Action type as ``package/action/Name``.
        server: Who serves it; ``driver`` is hardware of somebody else.
        clients: Names of the nodes that send goals.
        meaning: One sentence for the reference page.
    """

    name: str
    type: str
    server: str
    clients: tuple[str, ...]
    meaning: str

    def at(self, name: str) -> Action:
        """Return the action of this pattern with a name of the robot file."""
        return replace(self, name=name)


# Sensing. Names and rates come from the robot file.
IMAGE_READERS = (
    'inference',
    'command_executor',
    'recorder',
    'operator',
    'check',
    'visualizer',
    'monitor',
    'black_box',
)
IMAGE = Topic(
    '/<camera>/image_raw',
    'sensor_msgs/msg/Image',
    DRIVER,
    ('driver', 'camera', 'sim', 'fake_sensor'),
    IMAGE_READERS,
    'One image of a camera in any encoding of colours, stamped when it was taken.',
    subscriber_qos=SENSOR,
)
CAMERA_INFO = Topic(
    '/<camera>/camera_info',
    'sensor_msgs/msg/CameraInfo',
    DRIVER,
    ('driver', 'camera', 'sim'),
    ('person',),
    'Size and projection of an image, with its stamp and frame, beside its topic. ``sim`` and '
    'RealSense cameras know their projection; of others all of it is 0, which means not '
    'calibrated.',
    subscriber_qos=SENSOR,
)
COMPRESSED_IMAGE = Topic(
    '/<camera>/image_raw/compressed',
    'sensor_msgs/msg/CompressedImage',
    STREAM,
    ('driver', 'camera'),
    (*IMAGE_READERS, 'person'),
    'The same image as JPEG or PNG: of a driver where the robot file says ``transport: '
    'compressed``, and for people at other machines with ``compressed`` of ``camera``, while '
    'subscribed.',
)
JOINT_STATES = Topic(
    '/<arm>/joint_states',
    'sensor_msgs/msg/JointState',
    DRIVER,
    ('driver', 'sim', 'fake_sensor'),
    (
        'inference',
        'command_executor',
        'recorder',
        'operator',
        'arms',
        'check',
        'visualizer',
        'monitor',
        'black_box',
    ),
    'Measured joints of a follower arm [rad] and of its gripper, in the unit of its driver.',
    subscriber_qos=SENSOR,
)
ROBOT_DESCRIPTION = Topic(
    '/robot_description',
    'std_msgs/msg/String',
    LATCHED,
    ('driver', 'sim'),
    ('check', 'person'),
    'URDF of an arm, in its namespace, or of the whole robot; the check compares its limits. That '
    'of ``sim`` has both arms on their table, with joints called ``<arm>/<joint>``.',
)
LEADER_JOINT_STATES = Topic(
    '/<leader>/joint_states',
    'sensor_msgs/msg/JointState',
    DRIVER,
    ('driver', 'demonstrator'),
    ('command_executor',),
    'Measured joints of a leader arm that a person or an expert moves, or that follows.',
    subscriber_qos=SENSOR,
)
ROBOT_JOINT_STATES = Topic(
    '/joint_states',
    'sensor_msgs/msg/JointState',
    DRIVER,
    ('sim',),
    ('person',),
    'Joints of the robot description of ``sim`` [rad; finger m], for viewers that move it by '
    'themselves; sent while subscribed.',
)
TF = Topic(
    '/tf',
    'tf2_msgs/msg/TFMessage',
    STREAM,
    ('driver', 'sim'),
    ('person',),
    'Poses of the links of the robot description of ``sim``, for RViz; sent while subscribed, '
    'where ``tf2_msgs`` is installed.',
)
TASK = Topic(
    '/task',
    'std_msgs/msg/String',
    LATCHED,
    ('person', 'console', 'operate', 'sim', 'fake_sensor'),
    ('inference', 'planner', 'recorder', 'operator', 'visualizer', 'black_box'),
    'Language instruction of the episodes to come, at most 200 characters. Another one ends the '
    'queries: the planner has to be activated again.',
)

# The policy.
QUERY = Topic(
    '/policy/query',
    'trajectory_msgs/msg/JointTrajectory',
    NEWEST,
    ('planner',),
    ('inference', 'recorder', 'operator', 'visualizer', 'black_box'),
    'A query; row 0 of its answer is due at its stamp. The points are the committed rows, due '
    'from the stamp on at the rate of the policy: they are played until the answer comes, which '
    'begins with them. Without points nothing is committed.',
)
CANDIDATES = Topic(
    '/policy/candidates',
    'sensor_msgs/msg/PointCloud2',
    STREAM,
    ('inference',),
    ('planner', 'recorder', 'operator', 'visualizer', 'monitor', 'black_box'),
    'All candidates of one answer with their values, as a little-endian table '
    '(``candidate_table.py``) with the stamp of the query; in place of a coordinate frame it says '
    'since when the node that answers has been active [ns]. For machines: a point is a pose of '
    'all arms and has no x, y, z, so no viewer can draw it; ``/policy/markers`` shows the same.',
)
INFERENCE_STATUS = Topic(
    '/inference/status',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('inference',),
    ('planner', 'operator', 'demonstrator', 'replay', 'monitor', 'status', 'black_box'),
    'What an inference node had time for in its last answer (``status.InferenceStatus``), sent '
    'just before that answer; several nodes share it.',
)
PLANNER_STATUS = Topic(
    '/planner/status',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('planner',),
    ('operator', 'demonstrator', 'replay', 'monitor', 'status', 'black_box'),
    'Pace of the queries and the last choice (``status.PlannerStatus``), by which others decide.',
)
IMAGINATION = Topic(
    '/policy/imagination',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('monitor',),
    ('status',),
    'How far cameras and joints were from what was predicted of them when the last chunk had been '
    'played (``status.ImaginationStatus``).',
)
POLICY_STATUS = Topic(
    '/policy/status',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('monitor',),
    ('person',),
    'The whole stack in one status (``status.PolicyStatus``): phase, reason, episode, values, '
    'budget, latency, seam, standstill, safety; a change of phase or reason is sent at once.',
)
ACTION_CHUNK = Topic(
    '/policy/action_chunk',
    'trajectory_msgs/msg/JointTrajectory',
    NEWEST,
    ('planner', 'replay', 'arms'),
    (
        'command_executor',
        'recorder',
        'operator',
        'inference',
        'visualizer',
        'monitor',
        'black_box',
    ),
    'The chosen action chunk: joint targets [rad; gripper 0..1] with times of their own.',
)
FUTURE_IMAGE = Topic(
    '/policy/future/<camera>',
    'sensor_msgs/msg/Image',
    DRIVER,
    ('inference',),
    ('operator', 'visualizer', 'monitor'),
    'Predicted image of a camera at the end of the candidate that is played, stamped when it is '
    'due; sent while subscribed, by the inference node whose candidate was chosen. Without a '
    'planner it is the candidate with the highest mean value.',
    subscriber_qos=SENSOR,
)

MARKERS = Topic(
    '/policy/markers',
    'visualization_msgs/msg/MarkerArray',
    STREAM,
    ('visualizer',),
    ('person',),
    'What the policy is about to do, drawn: ways of the hands for all candidates, coloured by '
    'value, the chosen one bold, committed rows, joints at a limit, the two nearest shapes, state '
    'and reason; sent while subscribed.',
)
IMAGES = Topic(
    '/policy/images',
    'sensor_msgs/msg/Image',
    DRIVER,
    ('visualizer',),
    ('person',),
    'The newest images of all cameras above those that the policy predicts; sent while '
    'subscribed.',
)

# Motion.
JOINT_COMMAND = Topic(
    '/joint_command',
    'sensor_msgs/msg/JointState',
    STREAM,
    ('command_executor',),
    ('planner', 'recorder', 'operator', 'replay', 'arms', 'visualizer', 'black_box'),
    'Joint targets that were really sent to the arms [rad; gripper 0..1].',
)
EXECUTOR_STATUS = Topic(
    '/command_executor/status',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('command_executor',),
    (
        'planner',
        'operator',
        'demonstrator',
        'replay',
        'estop',
        'arms',
        'visualizer',
        'monitor',
        'status',
        'black_box',
    ),
    'State and figures of the executor (``status.ExecutorStatus``), by which others decide.',
)
STOP = Topic(
    '/command_executor/stop',
    'std_msgs/msg/Empty',
    NEWEST,
    ('person', 'console', 'operate', 'estop'),
    ('command_executor',),
    'Any message is an emergency stop, as the service is; for a pedal or a key that '
    'sends it again and again.',
)
HOME = Topic(
    '/planner/home',
    'std_msgs/msg/Empty',
    NEWEST,
    ('console', 'operate'),
    ('planner',),
    'While messages come, at least every 0.3 s, the arms go slowly to the start pose; without '
    'them they come to rest. Nothing moves by it that was not enabled, nor while the policy acts.',
)
ARM_FORWARD_COMMAND = Topic(
    '/<arm>_controller/commands',
    'std_msgs/msg/Float64MultiArray',
    NEWEST,
    ('command_executor',),
    ('driver', 'sim'),
    'Joints [rad], a gripper in the unit of its controller last; driver ``forward``.',
)
ARM_TRAJECTORY_COMMAND = Topic(
    '/<arm>_controller/joint_trajectory',
    'trajectory_msgs/msg/JointTrajectory',
    NEWEST,
    ('command_executor',),
    ('driver',),
    'One point, due one control period later; driver ``trajectory``.',
)
CONTROLLER_STATE = Topic(
    '/<arm>_controller/controller_state',
    'control_msgs/msg/JointTrajectoryControllerState',
    DRIVER,
    ('driver',),
    ('command_executor', 'check'),
    'What a JointTrajectoryController does; it is sent while the controller is active, and has '
    'its speed scaling; driver ``trajectory``.',
    subscriber_qos=SENSOR,
)
ARM_JOINT_STATE_COMMAND = Topic(
    '/<arm>/target_joint',
    'sensor_msgs/msg/JointState',
    NEWEST,
    ('command_executor',),
    ('driver',),
    'Joints [rad] by name, a gripper in the unit of its controller last; driver ``joint_state``.',
)
ARM_INTERBOTIX_GROUP = Topic(
    '/<arm>/commands/joint_group',
    'interbotix_xs_msgs/msg/JointGroupCommand',
    NEWEST,
    ('command_executor',),
    ('driver', 'sim'),
    'Joints of an arm [rad]; driver ``interbotix``.',
)
ARM_INTERBOTIX_SINGLE = Topic(
    '/<arm>/commands/joint_single',
    'interbotix_xs_msgs/msg/JointSingleCommand',
    NEWEST,
    ('command_executor',),
    ('driver', 'sim'),
    'Gripper of an arm in the unit of its controller; driver ``interbotix``.',
)

GRIPPER_COMMAND = Action(
    '/<arm>_gripper_controller/gripper_cmd',
    'control_msgs/action/GripperCommand',
    'driver',
    ('command_executor',),
    'Position of a gripper in the unit of its controller; driver ``gripper_command``.',
)
PARALLEL_GRIPPER_COMMAND = Action(
    '/<arm>/gripper_controller/gripper_cmd',
    'control_msgs/action/ParallelGripperCommand',
    'driver',
    ('command_executor',),
    'Position of a gripper in the unit of its controller; driver ``parallel_gripper``.',
)

# Episodes.
EXPERT = Topic(
    '/demonstration/expert',
    'std_msgs/msg/Bool',
    STREAM,
    ('demonstrator',),
    ('recorder', 'operator', 'black_box'),
    "Whether the action is the expert's own; false while a disturbance is played.",
)
HUMAN_INTERVENTION = Topic(
    '/human_intervention',
    'std_msgs/msg/Bool',
    LATCHED,
    ('command_executor',),
    ('recorder', 'operator', 'black_box'),
    'Whether a person acts in place of the policy from now on: whether what is sent to the arms '
    'is where the leaders are. Sent when that changes, before the first such command; before the '
    'first message nobody does.',
)
SUCCESS = Topic(
    '/sim/success',
    'std_msgs/msg/Bool',
    STREAM,
    ('sim',),
    ('recorder', 'operator', 'demonstrator', 'replay', 'black_box'),
    'Whether the simulated task is done now, 10 times a second.',
)
SIM_STATE = Topic(
    '/sim/state',
    'std_msgs/msg/Float64MultiArray',
    DRIVER,
    ('sim',),
    ('demonstrator',),
    'Positions and velocities of the whole scene; sent while subscribed.',
    subscriber_qos=SENSOR,
)
SIM_STATUS = Topic(
    '/sim/status',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('sim',),
    ('operator', 'demonstrator', 'replay', 'monitor', 'status', 'black_box'),
    'Speed of the simulation (``status.SimStatus``), by which others decide.',
)
RECORDER_STATUS = Topic(
    '/recorder/status',
    'diagnostic_msgs/msg/DiagnosticStatus',
    LATCHED,
    ('recorder',),
    ('operator', 'demonstrator', 'replay', 'monitor', 'status', 'black_box'),
    'Whether an episode is being recorded, how many are wanted and done, and what is said of the '
    'last one (``status.RecorderStatus``), by which others decide.',
)
START_IMAGES = Topic(
    '/recorder/start_images',
    'sensor_msgs/msg/CompressedImage',
    LATCHED,
    ('recorder',),
    ('console',),
    'What the cameras showed when the `reference` of the next episode began, laid out as '
    '``/policy/images`` and named in its frame id; without data where it cannot be read.',
)
CLOCK = Topic(
    '/clock',
    'rosgraph_msgs/msg/Clock',
    STREAM,
    ('driver', 'sim'),
    ('person',),
    'Time of all nodes with ``use_sim_time``. ``sim`` follows the system clock and sends that, at '
    'the rate of the joint states and only if ``use_sim_time`` is true for it too.',
    namespaced=False,
)
DIAGNOSTICS = Topic(
    '/diagnostics',
    'diagnostic_msgs/msg/DiagnosticArray',
    STREAM,
    ('sim', 'camera', 'inference', 'planner', 'command_executor', 'recorder', 'monitor'),
    ('recorder', 'operator', 'monitor', 'black_box'),
    'Health of every node, for people and recordings; no program decides by it.',
    namespaced=False,
)

ROSOUT = Topic(
    '/rosout',
    'rcl_interfaces/msg/Log',
    STREAM,
    ('driver',),
    ('black_box',),
    'What every node logs; ROS 2 itself publishes it.',
    namespaced=False,
)

DIAGNOSTICS_AGG = Topic(
    '/diagnostics_agg',
    'diagnostic_msgs/msg/DiagnosticArray',
    STREAM,
    ('monitor',),
    ('person',),
    'What ``/diagnostics`` says of the robots of this namespace as one tree with its worst level '
    'on top, once a second, for tools such as ``rqt_robot_monitor``.',
)

ENABLE = Service(
    '/command_executor/enable',
    'std_srvs/srv/SetBool',
    'command_executor',
    ('person', 'console', 'operate', 'operator', 'demonstrator', 'replay', 'arms'),
    'Allow motion from where the arms are (true), or end it (false); refused after an emergency '
    'stop until that is reset.',
)
ESTOP = Service(
    '/command_executor/estop',
    'std_srvs/srv/Trigger',
    'command_executor',
    ('person', 'console', 'operate', 'estop'),
    'Emergency stop: brake, and allow no motion until it is reset, in every state.',
)
RESET_ESTOP = Service(
    '/command_executor/reset',
    'std_srvs/srv/Trigger',
    'command_executor',
    ('person', 'console', 'operate', 'estop'),
    'Let go of an emergency stop; nothing moves before motion is enabled.',
)
TAKE_OVER = Service(
    '/command_executor/take_over',
    'std_srvs/srv/SetBool',
    'command_executor',
    ('person', 'console', 'operate'),
    'Let the leader arms lead (true), or the policy again (false); refused where a leader is too '
    'far from its follower, or stale.',
)
ACTIVATE = Service(
    '/planner/activate',
    'std_srvs/srv/SetBool',
    'planner',
    ('person', 'console', 'operate', 'operator'),
    'Start (true) or stop (false) querying the policy; refused where no inference node is. '
    'Whatever ends motion stops it too.',
)
START_RECORDING = Service(
    '/recorder/start',
    'std_srvs/srv/Trigger',
    'recorder',
    ('person', 'console', 'operate', 'demonstrator', 'fake_sensor'),
    'Begin an episode; refused while a stream is silent or there is no task.',
)
STOP_RECORDING = Service(
    '/recorder/stop',
    'std_srvs/srv/SetBool',
    'recorder',
    ('person', 'console', 'operate', 'demonstrator', 'fake_sensor'),
    'End the episode with its label: true for success.',
)
DISCARD_RECORDING = Service(
    '/recorder/discard',
    'std_srvs/srv/Trigger',
    'recorder',
    ('person', 'console', 'operate'),
    'Throw the running episode away.',
)
LABEL_RECORDING = Service(
    '/recorder/label',
    'rcl_interfaces/srv/SetParametersAtomically',
    'recorder',
    ('person', 'console', 'operate'),
    'Label an ended episode, or throw it away: `episode`, its name, with `progress` (0 to 4, '
    'which is a success), `failure` and `note`, or with `trash` true. What is answered is on the '
    'disk.',
)
SET_RECORDER_PARAMETERS = Service(
    '/recorder/set_parameters',
    'rcl_interfaces/srv/SetParameters',
    'recorder',
    ('person', 'console', 'operate'),
    'Set the parameter ``n_episodes``, the only one that may change while the recorder runs.',
)
RESET_SIM = Service(
    '/sim/reset',
    'std_srvs/srv/Trigger',
    'sim',
    ('person', 'console', 'operate', 'operator', 'demonstrator', 'replay'),
    'Put the scene into the start state of the parameter ``seed``.',
)
SET_SIM_PARAMETERS = Service(
    '/sim/set_parameters',
    'rcl_interfaces/srv/SetParameters',
    'sim',
    ('person', 'operator', 'demonstrator', 'replay'),
    'Set the parameter ``seed``, the only one that may change while the simulator runs.',
)
SET_PLANNER_PARAMETERS = Service(
    '/planner/set_parameters',
    'rcl_interfaces/srv/SetParameters',
    'planner',
    ('person', 'console', 'operate'),
    'Set the parameter ``speed_scale``, the only one that may change while the planner runs.',
)
LIST_PARAMETERS = Service(
    '/<node>/list_parameters',
    'rcl_interfaces/srv/ListParameters',
    'driver',
    ('black_box',),
    'Names of the parameters of any node, for a report of a fault.',
)
GET_PARAMETERS = Service(
    '/<node>/get_parameters',
    'rcl_interfaces/srv/GetParameters',
    'driver',
    ('black_box',),
    'Their values.',
)
LIST_CONTROLLER_PARAMETERS = Service(
    '/<arm>_controller/list_parameters',
    'rcl_interfaces/srv/ListParameters',
    'driver',
    ('command_executor', 'check'),
    'Names of the parameters of a ros2_control controller; drivers ``forward``, ``trajectory``.',
)
GET_CONTROLLER_PARAMETERS = Service(
    '/<arm>_controller/get_parameters',
    'rcl_interfaces/srv/GetParameters',
    'driver',
    ('command_executor', 'check'),
    'Their values, by which motion is refused where the controller would not do as commanded.',
)

FREE_LEADER = Service(
    '/<leader>/gravity_compensation_enable',
    'std_srvs/srv/SetBool',
    'driver',
    ('command_executor',),
    'Make a leader arm light in the hand (true), or let it hold again (false); `free_service` of '
    'the robot file.',
)

INTERBOTIX_INFO = Service(
    '/<arm>/get_robot_info',
    'interbotix_xs_msgs/srv/RobotInfo',
    'driver',
    ('command_executor', 'arms', 'check'),
    'Joints and operating mode of a group or a joint; driver ``interbotix``.',
)
INTERBOTIX_SET_MODES = Service(
    '/<arm>/set_operating_modes',
    'interbotix_xs_msgs/srv/OperatingModes',
    'driver',
    ('command_executor', 'arms', 'check'),
    'Operating mode and profile of a group or a joint, which lets go of it for a moment; without '
    'an answer; driver ``interbotix``.',
)
INTERBOTIX_TORQUE = Service(
    '/<arm>/torque_enable',
    'interbotix_xs_msgs/srv/TorqueEnable',
    'driver',
    ('person', 'command_executor', 'arms', 'check'),
    'Torque of a group or a joint, on or off, without an answer; driver ``interbotix``.',
)
INTERBOTIX_REBOOT = Service(
    '/<arm>/reboot_motors',
    'interbotix_xs_msgs/srv/Reboot',
    'driver',
    ('person',),
    'Start motors anew after a hardware error; they let go meanwhile; driver ``interbotix``.',
)
INTERBOTIX_GAINS = Service(
    '/<arm>/set_motor_pid_gains',
    'interbotix_xs_msgs/srv/MotorGains',
    'driver',
    ('person',),
    'Gains of the motors of a group or a joint, without an answer; driver ``interbotix``.',
)
INTERBOTIX_SET_REGISTER = Service(
    '/<arm>/set_motor_registers',
    'interbotix_xs_msgs/srv/RegisterValues',
    'driver',
    ('command_executor', 'arms', 'check'),
    'A register of the motors of a group or a joint, without an answer; driver ``interbotix``.',
)
INTERBOTIX_GET_REGISTER = Service(
    '/<arm>/get_motor_registers',
    'interbotix_xs_msgs/srv/RegisterValues',
    'driver',
    ('command_executor', 'arms', 'check'),
    'Values of a register, a motor each; none where one cannot be read; driver ``interbotix``.',
)

TOPICS = tuple(value for value in globals().copy().values() if isinstance(value, Topic))
SERVICES = tuple(value for value in globals().copy().values() if isinstance(value, Service))
ACTIONS = tuple(value for value in globals().copy().values() if isinstance(value, Action))

# Columns of the table on /policy/candidates, behind one column for every joint.
TIME_FROM_START = 'time_from_start'  # when a row is due after the stamp [s]
VALUES = 'values'  # max(M, 1) * max(K, 1) ensemble members of a candidate
FUTURE_PROPRIO = 'future_proprio'  # P joints after the chunk [rad; gripper 0..1]


def offered_qos(name: str) -> Qos:
    """Return the quality of service that a topic of a bag is published with.

    Args:
        name: Its name in bags; one that is no row of the table is a sensor's.
    """
    return next((topic.qos for topic in TOPICS if topic.name == name), DRIVER)


def camera_info(image: str) -> Topic:
    """Return the topic of the projection of an image topic, given by its full name."""
    return CAMERA_INFO.at(f'{image.rpartition("/")[0]}/camera_info')


def future_image(camera: str) -> Topic:
    """Return the topic of the predicted images of a camera."""
    return replace(FUTURE_IMAGE, name=f'/policy/future/{camera}')


def camera_images(camera: CameraSpec) -> Topic:
    """Return the topic that the images of a camera come on, raw or compressed.

    Compressed images come where image_transport puts them, or on the topic itself where that is
    named so.
    """
    if camera.transport == 'raw':
        return IMAGE.at(camera.topic)
    topic = camera.topic
    name = topic if topic.endswith('compressed') else f'{topic}/compressed'
    return replace(COMPRESSED_IMAGE.at(name), subscriber_qos=SENSOR)
