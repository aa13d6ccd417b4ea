"""A folder of DICOM films."""
