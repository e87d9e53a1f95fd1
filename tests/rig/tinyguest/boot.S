# Boots a Linux kernel from a disk without a file system, as its PVH entry wants it.
#
# An interpreter runs about ten million instructions a second: a boot loader that copies byte by byte and
# a kernel that unpacks itself take most of a minute there. Here the BIOS reads and moves the kernel, which
# lies on the disk as it shall lie in memory. Sectors 1 and 2 are the table that build.py writes (see _table there).

	.code16
	.equ info, 0x7e00           # hvm_start_info, then what it points to
	.equ entries, info + 48     # its field memmap_entries
	.equ parts, info + 0x80     # two parts: first sector, pieces of 32 KiB, address
	.equ entry, info + 0xa0     # where the kernel starts
	.equ map, 0x6000            # the memory map, 24 bytes an entry

	.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	cld
	movb %dl, drive

	movw $2, packet_count       # the table
	movl $1, packet_sector
	movl $info, packet_buffer
	call read
	movw $64, packet_count
	movl $0x10000000, packet_buffer  # segment 0x1000, offset 0

	movw $parts, %bp
next_part:
	movl (%bp), %eax
	movl %eax, packet_sector
	movl 8(%bp), %eax
	movl %eax, target
next_piece:
	call read
	addl $64, packet_sector
	movl target, %eax
	movw %ax, to_low
	shrl $16, %eax
	movb %al, to_middle
	movb %ah, to_high
	movw $0x4000, %cx           # words
	movw $moves, %si
	movb $0x87, %ah
	int $0x15
	jc failed
	addl $0x8000, target
	decl 4(%bp)
	jnz next_piece
	addw $12, %bp
	cmpw $parts + 24, %bp
	jne next_part

	xorl %ebx, %ebx             # the memory map, from the BIOS
	movw $map, %di
next_area:
	movl $0xe820, %eax
	movl $0x534d4150, %edx
	movl $20, %ecx
	movl $0, 20(%di)
	int $0x15
	jc mapped
	addw $24, %di
	incl entries
	testl %ebx, %ebx
	jnz next_area
mapped:
	movw $0x2401, %ax           # address line 20: moving memory has left it off
	int $0x15
	cli
	inb $0x92, %al
	orb $2, %al
	andb $0xfe, %al
	outb %al, $0x92
	lgdt flat_table
	movl $1, %eax
	movl %eax, %cr0
	ljmp $8, $protected

read:
	movw $packet, %si
	movb drive, %dl
	movb $0x42, %ah
	int $0x13
	jc failed
	ret
failed:
	hlt
	jmp failed

	.code32
protected:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $info, %ebx
	movl entry, %eax
	jmp *%eax

	.balign 4
drive:	.byte 0
	.balign 4
target:	.long 0
packet:	.byte 16, 0
packet_count:	.word 0
packet_buffer:	.long 0
packet_sector:	.quad 0
	.balign 8
moves:	.quad 0, 0
	.word 0xffff, 0             # from 0x10000
	.byte 1, 0x93
	.word 0
	.word 0xffff
to_low:	.word 0
to_middle:	.byte 0, 0x93, 0
to_high:	.byte 0
	.quad 0, 0
flat:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
flat_table:
	.word 23
	.long flat

	.org 510
	.word 0xaa55
