import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/**
 * Returns the fields that have no value in any of these messages, by their paths, down into the messages of the contract that they
 * hold. An empty list says that the messages would show any field that an encoder written by hand leaves out: a field that is new
 * in the contract is listed until a fixture sets it.
 *
 * @param byLibrary messages that the library encodes, which are not looked into
 */
export function unsetFields(
  schema: DescMessage,
  messages: readonly Message[],
  byLibrary: readonly DescMessage[] = [],
): string[] {
  const reflected = messages.map((message) => reflect(schema, message));
  return schema.fields.flatMap((field) => {
    const values = reflected.filter((one) => one.isSet(field)).map((one) => one.get(field));
    if (values.length === 0) return [field.name];
    const { message: inner } = field;
    const isOurs = inner?.file.proto.package === schema.file.proto.package && !byLibrary.includes(inner);
    if (inner === undefined || !isOurs) return [];
    const nested = values.flatMap((value) =>
      field.fieldKind === "list" ? [...(value as Iterable<ReflectMessage>)] : [value as ReflectMessage],
    );
    const unset = unsetFields(
      inner,
      nested.map(({ message }) => message),
      byLibrary,
    );
    return unset.map((path) => `${field.name}.${path}`);
  });
}
