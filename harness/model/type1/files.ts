import type { Container, Device, Group, Iommu, Vfio } from './state.ts';

/* What a request is made to: the state behind the file, and the machine it is part of. */

export interface ContainerFile {
  readonly vfio: Vfio;
  readonly container: Container;
}

/** The container's file once it has an IOMMU. */
export interface IommuFile extends ContainerFile {
  readonly iommu: Iommu;
}

export interface GroupFile {
  readonly vfio: Vfio;
  readonly group: Group;
}

export interface DeviceFile extends GroupFile {
  readonly device: Device;
}
