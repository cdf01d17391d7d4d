import { createRegistry, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** Finds descriptors for reflection clients. Every finder returns undefined if there is none. */
export interface DescriptorIndex {
  /** Full names of the services, in alphabetical order. */
  readonly serviceNames: readonly string[];
  /** Finds the file of this name and all it imports, each as an encoded FileDescriptorProto. */
  findFile(name: string): Uint8Array[] | undefined;
  /** The same for the file that declares a symbol: a message, enum, service, method, field or enum value. */
  findFileOfSymbol(name: string): Uint8Array[] | undefined;
  /** The same for the file that declares an extension. */
  findFileOfExtension(messageName: string, fieldNumber: number): Uint8Array[] | undefined;
  /** Lists the numbers of all extensions of a message. */
  findExtensionNumbers(messageName: string): number[] | undefined;
}

/** Indexes the files that declare `services`, other files, and all that these import. */
export function indexDescriptors(
  services: readonly DescService[],
  others: readonly DescFile[],
): DescriptorIndex {
  const files = new Set<DescFile>();
  for (const file of others) addWithImports(file, files);
  for (const service of services) addWithImports(service.file, files);
  const registry = createRegistry(...files);
  const fileByName = new Map(Array.from(files, (file) => [file.proto.name, file]));
  const fileOfSymbol = new Map<string, DescFile>();
  for (const file of files) {
    for (const symbol of symbolsOf(file)) fileOfSymbol.set(symbol, file);
  }
  const encoded = (file: DescFile | undefined): Uint8Array[] | undefined => {
    if (file === undefined) return undefined;
    const wanted = new Set<DescFile>();
    addWithImports(file, wanted);
    return Array.from(wanted, (one) => toBinary(FileDescriptorProtoSchema, one.proto));
  };

  return {
    serviceNames: services.map((service) => service.typeName).sort(),
    findFile: (name) => encoded(fileByName.get(name)),
    findFileOfSymbol: (name) => encoded(fileOfSymbol.get(name)),
    findFileOfExtension(messageName, fieldNumber) {
      const message = registry.getMessage(messageName);
      return message && encoded(registry.getExtensionFor(message, fieldNumber)?.file);
    },
    findExtensionNumbers(messageName) {
      if (registry.getMessage(messageName) === undefined) return undefined;
      return [...registry]
        .filter((type) => type.kind === "extension")
        .filter((extension) => extension.extendee.typeName === messageName)
        .map((extension) => extension.number);
    },
  };
}

/** The file first, then its imports: clients take the first as the answer. */
function addWithImports(file: DescFile, files: Set<DescFile>): void {
  if (files.has(file)) return;
  files.add(file);
  for (const imported of file.dependencies) addWithImports(imported, files);
}

function* symbolsOf(file: DescFile): Iterable<string> {
  for (const type of createRegistry(file)) {
    // The registry also holds nested types, and imports, which belong to files of their own.
    if (type.file !== file) continue;
    yield type.typeName;
    switch (type.kind) {
      case "message":
        for (const field of type.fields) yield `${type.typeName}.${field.name}`;
        for (const oneof of type.oneofs) yield `${type.typeName}.${oneof.name}`;
        break;
      case "enum":
        // Enum values are siblings of their enum, not members of it.
        for (const value of type.values) yield sibling(type.typeName, value.name);
        break;
      case "service":
        for (const method of type.methods) yield `${type.typeName}.${method.name}`;
        break;
    }
  }
}

function sibling(typeName: string, name: string): string {
  return typeName.replace(/[^.]+$/, name);
}
