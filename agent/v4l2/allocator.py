"""The allocator: one place that decides where a camera's frames are written to (mission row C1)."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator

import numpy as np

from agent.errors import AgentError, DeviceError, InputError
from agent.kernel import PROT_READ, PROT_WRITE
from agent.units import format_size
from agent.v4l2 import uapi
from agent.v4l2.buffers import PREFERENCE, Buffer, BufferPool, MemoryKind, Plane, make_buffer
from agent.v4l2.dmabuf import allocate_from_dma_heap, allocate_from_udmabuf
from agent.v4l2.formats import set_format
from agent.v4l2.ioctl import Node, typed_error

PAGE_BYTES = mmap.PAGESIZE
_MAKE_DMABUF = {MemoryKind.DMA_HEAP: allocate_from_dma_heap, MemoryKind.UDMABUF: allocate_from_udmabuf}


class _NotOffered(AgentError):
    """This kind of memory is not to be had here; another may be."""

    code = "memory_not_offered"


class Allocator:
    """Makes buffer pools for one node. `granularity_bytes` rounds each plane's memory up (4 MiB: parse `4MiB`)."""

    def __init__(
        self,
        node: Node,
        buffer_type: uapi.BufType,
        *,
        granularity_bytes: int = PAGE_BYTES,
        preference: tuple[MemoryKind, ...] = PREFERENCE,
    ) -> None:
        """Raises InputError when the granularity is not a whole number of pages."""
        if granularity_bytes <= 0 or granularity_bytes % PAGE_BYTES:
            raise InputError(
                f"a pool granularity of {format_size(granularity_bytes)} is not a whole number of pages",
                hint=f"use a multiple of {PAGE_BYTES} bytes, such as 4MiB",
                minimum=PAGE_BYTES,
                step=PAGE_BYTES,
            )
        self._node = node
        self._buffer_type = buffer_type
        self._granularity_bytes = granularity_bytes
        self._preference = preference

    def allocate(self, width_px: int, height_px: int, pixel_format: str, *, count: int = 4) -> BufferPool:
        """Set the format and make `count` buffers (the driver may want more) of the best kind to be had.

        Raises FormatUnsupported, DeviceBusy when another program streams, DeviceError when no kind works.
        """
        granted = set_format(
            self._node, self._buffer_type, pixel_format=pixel_format, width_px=width_px, height_px=height_px
        )
        passed_over: list[tuple[MemoryKind, str]] = []
        for kind in self._preference:
            pool = BufferPool(self._buffer_type, granted, kind)
            try:
                self._fill(pool, count)
            except _NotOffered as reason:
                pool.release()
                passed_over.append((kind, reason.message))
                continue
            except BaseException:
                pool.release()
                raise
            pool.passed_over = tuple(passed_over)
            return pool
        reasons = "; ".join(f"{kind.value}: {why}" for kind, why in passed_over)
        raise DeviceError(
            f"{self._node.path} offers no usable memory for its buffers ({reasons})",
            hint="allow another kind of memory, or leave the choice away",
            device=self._node.path,
            request=uapi.VIDIOC_REQBUFS.name,
            errno=errno.EINVAL,
        )

    def _fill(self, pool: BufferPool, count: int) -> None:
        granted = self._request(pool, count)
        pool.on_release(self._give_back, pool)
        sizes = [self._round_up(layout.size_bytes) for layout in pool.format.planes]
        for index in range(granted):
            if pool.queue_memory is uapi.Memory.MMAP:
                planes = tuple(self._map_driver_planes(pool, index))
            else:
                planes = tuple(self._own_plane(pool, size) for size in sizes)
            pool.buffers.append(Buffer(index, planes))

    def _request(self, pool: BufferPool, count: int) -> int:
        """REQBUFS, or CREATE_BUFS where the driver's own planes are to be larger than the format needs."""
        if pool.queue_memory is uapi.Memory.MMAP and self._granularity_bytes > PAGE_BYTES:
            return self._create_rounded(pool, count)
        request = uapi.v4l2_requestbuffers(count=count, type=self._buffer_type, memory=pool.queue_memory)
        code = self._node.attempt(uapi.VIDIOC_REQBUFS, request)
        if code == errno.EINVAL:
            raise _not_offered(f"the driver does not stream from {pool.queue_memory.name} memory")
        if code:
            raise typed_error(code, uapi.VIDIOC_REQBUFS.name, self._node.path)
        return int(request.count)

    def _create_rounded(self, pool: BufferPool, count: int) -> int:
        request = uapi.v4l2_create_buffers(count=count, memory=pool.queue_memory)
        request.format.type = self._buffer_type
        self._node.call(uapi.VIDIOC_G_FMT, request.format)
        if self._buffer_type == uapi.BufType.VIDEO_CAPTURE_MPLANE:
            for plane in list(request.format.fmt.pix_mp.plane_fmt)[: len(pool.format.planes)]:
                plane.sizeimage = self._round_up(plane.sizeimage)
        else:
            request.format.fmt.pix.sizeimage = self._round_up(request.format.fmt.pix.sizeimage)
        code = self._node.attempt(uapi.VIDIOC_CREATE_BUFS, request)
        if code in (errno.EINVAL, errno.ENOTTY):
            raise _not_offered("the driver does not make buffers larger than its format needs")
        if code:
            raise typed_error(code, uapi.VIDIOC_CREATE_BUFS.name, self._node.path)
        return int(request.count)

    def _give_back(self, pool: BufferPool) -> None:
        request = uapi.v4l2_requestbuffers(count=0, type=self._buffer_type, memory=pool.queue_memory)
        code = self._node.attempt(uapi.VIDIOC_REQBUFS, request)
        if code not in (0, errno.ENODEV, errno.EINVAL):
            raise typed_error(code, uapi.VIDIOC_REQBUFS.name, self._node.path)

    def _map_driver_planes(self, pool: BufferPool, index: int) -> Iterator[Plane]:
        answer, planes = make_buffer(pool, index)
        self._node.call(uapi.VIDIOC_QUERYBUF, answer)
        layouts = [(answer.length, answer.m.offset)]
        if pool.buffer_type == uapi.BufType.VIDEO_CAPTURE_MPLANE:
            layouts = [(plane.length, plane.m.mem_offset) for plane in list(planes)[: answer.length]]
        for number, (length, offset) in enumerate(layouts):
            dmabuf = self._export(pool, index, number) if pool.kind is MemoryKind.MMAP_EXPORTED else None
            mapping = self._node.mmap(length, offset, PROT_READ | PROT_WRITE)
            pool.on_release(mapping.release)
            yield Plane(mapping, np.frombuffer(mapping.view, np.uint8), dmabuf, shared_as_dmabuf=False)

    def _export(self, pool: BufferPool, index: int, plane: int) -> int:
        # whoever is given this descriptor may only read (vidioc-expbuf.rst); we have a mapping of our own
        request = uapi.v4l2_exportbuffer(
            type=pool.buffer_type, index=index, plane=plane, flags=os.O_CLOEXEC | os.O_RDONLY
        )
        code = self._node.attempt(uapi.VIDIOC_EXPBUF, request)
        if code:
            raise _not_offered(f"the driver does not export its buffers ({os.strerror(code)})")
        pool.on_release(self._node.kernel.close, request.fd)
        return int(request.fd)

    def _own_plane(self, pool: BufferPool, size: int) -> Plane:
        if pool.kind is MemoryKind.USERPTR:
            memory, dmabuf = os.memfd_create("camera-agent"), None
            os.ftruncate(memory, size)
        else:
            memory = dmabuf = self._make_dmabuf(pool.kind, size)
        pool.on_release(self._node.kernel.close if dmabuf else os.close, memory)
        # the driver writes to our own pages as we could; a DMABUF it writes to by itself
        protection = PROT_READ | PROT_WRITE if dmabuf is None else PROT_READ
        mapping = self._node.kernel.mmap(memory, size, 0, protection)
        pool.on_release(mapping.release)
        return Plane(mapping, np.frombuffer(mapping.view, np.uint8), dmabuf, shared_as_dmabuf=dmabuf is not None)

    def _make_dmabuf(self, kind: MemoryKind, size: int) -> int:
        try:
            return _MAKE_DMABUF[kind](self._node.kernel, size)
        except OSError as error:
            raise _not_offered(f"{error.filename}: {error.strerror}") from error

    def _round_up(self, size: int) -> int:
        return -(-size // self._granularity_bytes) * self._granularity_bytes


def _not_offered(why: str) -> _NotOffered:
    return _NotOffered(why, hint="another kind of memory is tried")
