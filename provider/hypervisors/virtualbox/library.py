"""The part of VirtualBox's API that the driver uses, typed; named as pyvbox names it.

Enum values go by their names in VirtualBox's documentation ("PoweredOff"): numbers differ by version.
All of it is to be used on the threads of binding.run.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar, overload

from provider.hypervisors.virtualbox import binding

Value = TypeVar("Value")

NOT_FOUND = 0x80BB0001
FILE_ERROR = 0x80BB0004
INVALID_OBJECT_STATE = 0x80BB0007
OBJECT_IN_USE = 0x80BB000C


class VirtualBoxError(Exception):
    """A refused call. `code` is its unsigned COM code or 0, `text` VirtualBox's own words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__((text or "no reason given") + (f" (0x{code:08X})" if code else ""))
        self.code = code
        self.text = text


def checked(function: Callable[[], Value]) -> Value:
    """What the function returns; VirtualBox's exceptions become VirtualBoxError."""
    api = binding.api()
    try:
        return function()
    except api.errors as error:
        manager = api.manager
        raise VirtualBoxError(
            int(manager.xcptGetStatus(error)) & 0xFFFFFFFF, str(manager.xcptGetMessage(error))
        ) from None


class Interface:
    """A COM object. Two of them are the same thing when their ids are, never by identity."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @classmethod
    def maybe(cls, raw: Any) -> Self | None:
        return None if raw is None else cls(raw)

    def call(self, name: str, *arguments: Any) -> Any:
        return checked(lambda: getattr(self.raw, name)(*arguments))

    def get(self, name: str) -> Any:
        return checked(lambda: getattr(self.raw, name))

    def put(self, name: str, value: Any) -> None:
        checked(lambda: setattr(self.raw, name, value))

    def items(self, name: str) -> list[Any]:
        """An attribute that is an array: COM and XPCOM differ in how it is read."""
        return list(checked(lambda: binding.api().manager.getArray(self.raw, name)))

    def part(self, name: str) -> "Interface":
        return Interface(self.get(name))

    def names(self, name: str) -> list[str]:
        """The names of the objects in an array."""
        return [str(Interface(raw).get("name")) for raw in self.items(name)]


class Attribute(Generic[Value]):
    """An attribute of a COM object; `convert` makes what is read into our type."""

    def __init__(self, name: str, convert: Callable[[Any], Value]) -> None:
        self.name = name
        self.convert = convert

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: Interface, kind: type) -> Value: ...
    def __get__(self, owner: Interface | None, kind: type) -> Self | Value:
        return self if owner is None else self.convert(owner.get(self.name))

    def __set__(self, owner: Interface, value: Value) -> None:
        owner.put(self.name, value)


class Choice(Attribute[str]):
    """An attribute of an enum type."""

    def __init__(self, name: str, enum: str) -> None:
        super().__init__(name, lambda value: binding.api().name(enum, value))
        self.enum = enum

    def __set__(self, owner: Interface, value: str) -> None:
        owner.put(self.name, number(self.enum, value))


def number(enum: str, name: str) -> int:
    return binding.api().number(enum, name)


class Progress(Interface):
    completed = Attribute("completed", bool)
    result_code = Attribute("resultCode", lambda value: int(value) & 0xFFFFFFFF)

    def wait_for_completion(self, milliseconds: int) -> None:
        self.call("waitForCompletion", milliseconds)

    def error_text(self) -> str:
        found = self.get("errorInfo")
        return str(checked(lambda: found.text)) if found is not None else ""

    def cancel(self) -> None:
        self.call("cancel")


class Medium(Interface):
    id = Attribute("id", str)
    location = Attribute("location", str)
    logical_size = Attribute("logicalSize", int)
    last_access_error = Attribute("lastAccessError", str)

    @property
    def base(self) -> "Medium":
        return Medium(self.get("base"))

    @property
    def parent(self) -> "Medium | None":
        return Medium.maybe(self.get("parent"))

    @property
    def children(self) -> "list[Medium]":
        return [Medium(child) for child in self.items("children")]

    @property
    def machine_ids(self) -> list[str]:
        return [str(found) for found in self.items("machineIds")]

    def refresh_state(self) -> str:
        """The state's name: Created, Inaccessible, LockedRead..."""
        return binding.api().name("MediumState", self.call("refreshState"))

    def clone_to_base(self, target: "Medium") -> Progress:
        return Progress(self.call("cloneToBase", target.raw, [number("MediumVariant", "Standard")]))

    def create_diff_storage(self, target: "Medium") -> Progress:
        return Progress(self.call("createDiffStorage", target.raw, [number("MediumVariant", "Standard")]))

    def set_image_id(self, uuid: str) -> None:
        self.call("setIds", True, uuid, False, "")

    def resize(self, size: int) -> Progress:
        return Progress(self.call("resize", size))

    def close(self) -> None:
        """Forget the medium; its file stays."""
        self.call("close")


class MediumAttachment(Interface):
    controller = Attribute("controller", str)
    port = Attribute("port", int)
    device = Attribute("device", int)
    type = Choice("type", "DeviceType")

    @property
    def medium(self) -> Medium | None:
        return Medium.maybe(self.get("medium"))


class NatEngine(Interface):
    def add_redirect(self, name: str, host_ip: str, host_port: int, guest_port: int) -> None:
        tcp = number("NATProtocol", "TCP")
        self.call("addRedirect", name, tcp, host_ip, host_port, "", guest_port)

    def remove_redirect(self, name: str) -> None:
        self.call("removeRedirect", name)

    @property
    def redirects(self) -> list[str]:
        """Each as "name,protocol,host ip,host port,guest ip,guest port"."""
        return [str(rule) for rule in self.items("redirects")]


class NetworkAdapter(Interface):
    enabled = Attribute("enabled", bool)
    adapter_type = Choice("adapterType", "NetworkAdapterType")
    attachment_type = Choice("attachmentType", "NetworkAttachmentType")
    promisc_mode_policy = Choice("promiscModePolicy", "NetworkAdapterPromiscModePolicy")
    mac_address = Attribute("MACAddress", str)
    internal_network = Attribute("internalNetwork", str)
    generic_driver = Attribute("genericDriver", str)
    cable_connected = Attribute("cableConnected", bool)

    @property
    def nat_engine(self) -> NatEngine:
        return NatEngine(self.get("NATEngine"))

    def set_property(self, key: str, value: str) -> None:
        self.call("setProperty", key, value)


class SerialPort(Interface):
    enabled = Attribute("enabled", bool)
    host_mode = Choice("hostMode", "PortMode")
    path = Attribute("path", str)


class Console(Interface):
    def power_button(self) -> None:
        self.call("powerButton")

    def power_down(self) -> Progress:
        return Progress(self.call("powerDown"))

    def resume(self) -> None:
        self.call("resume")


class Machine(Interface):
    id = Attribute("id", str)
    accessible = Attribute("accessible", bool)
    name = Attribute("name", str)
    state = Choice("state", "MachineState")
    session_state = Choice("sessionState", "SessionState")
    session_name = Attribute("sessionName", str)
    session_pid = Attribute("sessionPID", int)
    settings_file_path = Attribute("settingsFilePath", str)
    cpu_count = Attribute("CPUCount", int)
    memory_size = Attribute("memorySize", int)
    clipboard_mode = Choice("clipboardMode", "ClipboardMode")
    dnd_mode = Choice("dnDMode", "DnDMode")

    def access_error(self) -> str:
        found = self.get("accessError")
        return str(checked(lambda: found.text)) if found is not None else ""

    def get_extra_data(self, key: str) -> str:
        return str(self.call("getExtraData", key))

    def set_extra_data(self, key: str, value: str) -> None:
        self.call("setExtraData", key, value)

    def save_settings(self) -> None:
        self.call("saveSettings")

    def discard_settings(self) -> None:
        self.call("discardSettings")

    def get_network_adapter(self, slot: int) -> NetworkAdapter:
        return NetworkAdapter(self.call("getNetworkAdapter", slot))

    def get_serial_port(self, slot: int) -> SerialPort:
        return SerialPort(self.call("getSerialPort", slot))

    @property
    def medium_attachments(self) -> list[MediumAttachment]:
        return [MediumAttachment(found) for found in self.items("mediumAttachments")]

    def add_storage_controller(self, name: str, bus: str) -> None:
        self.call("addStorageController", name, number("StorageBus", bus))

    def attach_device(self, controller: str, port: int, kind: str, medium: Medium) -> None:
        self.call("attachDevice", controller, port, 0, number("DeviceType", kind), medium.raw)

    def detach_device(self, controller: str, port: int) -> None:
        self.call("detachDevice", controller, port, 0)

    def set_hot_pluggable(self, controller: str, port: int) -> None:
        self.call("setHotPluggableForDevice", controller, port, 0, True)

    def set_boot_order(self, position: int, device: str) -> None:
        self.call("setBootOrder", position, number("DeviceType", device))

    def discard_saved_state(self) -> None:
        self.call("discardSavedState", True)

    def lock_machine(self, session: "Session", kind: str) -> None:
        self.call("lockMachine", session.raw, number("LockType", kind))

    def launch_vm_process(self, session: "Session", frontend: str) -> Progress:
        return Progress(self.call("launchVMProcess", session.raw, frontend, []))

    def unregister(self, mode: str) -> list[Medium]:
        return [Medium(raw) for raw in self.call("unregister", number("CleanupMode", mode))]

    def delete_config(self, media: Sequence[Medium]) -> Progress:
        return Progress(self.call("deleteConfig", [medium.raw for medium in media]))


class Session(Interface):
    type = Choice("type", "SessionType")
    state = Choice("state", "SessionState")

    @property
    def machine(self) -> Machine:
        return Machine(self.get("machine"))

    @property
    def console(self) -> Console | None:
        return Console.maybe(self.get("console"))

    def unlock_machine(self) -> None:
        self.call("unlockMachine")


class VirtualBox(Interface):
    """The root of the API."""

    version = Attribute("version", str)

    @classmethod
    def connect(cls) -> "VirtualBox":
        raw = checked(lambda: binding.api().manager.getVirtualBox())
        if raw is None:
            # VirtualBox's client never connects again in the same process.
            raise VirtualBoxError(0, "its service VBoxSVC has ended meanwhile; run up again")
        return cls(raw)

    @staticmethod
    def session() -> Session:
        return Session(checked(lambda: binding.api().manager.getSessionObject()))

    @property
    def machines(self) -> list[Machine]:
        return [Machine(raw) for raw in self.items("machines")]

    @property
    def hard_disks(self) -> list[Medium]:
        """Base media only; the others are children of these."""
        return [Medium(raw) for raw in self.items("hardDisks")]

    @property
    def dvd_images(self) -> list[Medium]:
        return [Medium(raw) for raw in self.items("DVDImages")]

    @property
    def dhcp_networks(self) -> list[str]:
        """Names of the networks that a DHCP server of VirtualBox serves."""
        return [str(Interface(raw).get("networkName")) for raw in self.items("DHCPServers")]

    def create_machine(self, settings_file: str, name: str, os_type: str, uuid: str) -> Machine:
        """The arguments grew with 7.0 (encryption) and 7.1 (architecture)."""
        flags = f"UUID={uuid}"
        version = tuple(int(part) for part in self.version.split(".")[:2])
        if version < (7, 0):
            arguments: list[Any] = [settings_file, name, [], os_type, flags]
        elif version < (7, 1):
            arguments = [settings_file, name, [], os_type, flags, "", "", ""]
        else:
            x86 = number("PlatformArchitecture", "x86")
            arguments = [settings_file, name, x86, [], os_type, flags, "", "", ""]
        return Machine(self.call("createMachine", *arguments))

    def find_machine(self, uuid_or_name: str) -> Machine:
        return Machine(self.call("findMachine", uuid_or_name))

    def register_machine(self, machine: Machine) -> None:
        self.call("registerMachine", machine.raw)

    def open_medium(self, location: str, kind: str = "HardDisk", access: str = "ReadOnly") -> Medium:
        """One that is open already is given again."""
        device, mode = number("DeviceType", kind), number("AccessMode", access)
        return Medium(self.call("openMedium", location, device, mode, False))

    def create_medium(self, location: str) -> Medium:
        """A hard disk to be: nothing is written before storage is made for it."""
        device, mode = number("DeviceType", "HardDisk"), number("AccessMode", "ReadWrite")
        return Medium(self.call("createMedium", "VDI", location, mode, device))
